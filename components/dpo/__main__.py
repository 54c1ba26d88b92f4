from components.dpo import run
from kajiya.stage import main

main(run, keyed=True)
