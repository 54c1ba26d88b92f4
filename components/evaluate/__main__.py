from components.evaluate import run
from kajiya.stage import main

main(run)
