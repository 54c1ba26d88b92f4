from components.sample import run
from kajiya.stage import main

main(run)
