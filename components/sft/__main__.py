from components.sft import run
from kajiya.stage import main

main(run, keyed=True)
