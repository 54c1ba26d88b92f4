from components.answer import run
from kajiya.stage import main

main(run)
