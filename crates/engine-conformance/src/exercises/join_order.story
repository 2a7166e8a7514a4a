main started
step takes given 3
step takes#2 given 1
step takes#3 given 2
step takes#2 gave 1
step takes#3 gave 2
step takes gave 3
sleep
sleep is over
completed: [1,2,3]
