from components.register import run
from kajiya.stage import main

main(run)
