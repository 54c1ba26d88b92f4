from components.pretrain import run
from kajiya.stage import main

main(run)
