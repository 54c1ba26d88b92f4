from components.dedupe import run
from kajiya.stage import main

main(run)
