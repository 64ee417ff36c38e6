from training.art.atlas import main

main()
