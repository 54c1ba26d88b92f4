from components.tokenizer import run
from kajiya.stage import main

main(run)
