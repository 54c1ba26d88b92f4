from components.validate import run
from kajiya.stage import main

main(run)
