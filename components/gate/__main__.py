from components.gate import run
from kajiya.stage import main

main(run)
