from components.tokenize import run
from kajiya.stage import main

main(run)
