from components.decontaminate import run
from kajiya.stage import main

main(run)
