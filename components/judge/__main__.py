from components.judge import run
from kajiya.stage import main

main(run)
