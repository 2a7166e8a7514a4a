main started
step call given 1
step call#2 given 2, held back: queue
step call#2 failed: timeout: no place in queue within 400ms
step call#2 given up after 1 (attempts)
step call gave 1
completed: [1,"timeout"]
