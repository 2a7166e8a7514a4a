main started
step charge given 1
step charge gave 1
step charge#2 given 2
step charge#2 gave 2
completed: [1,2,false]

main started as a fork at 3
step charge given 1
step charge gave 1
step charge#2 given 2
step charge#2 gave 2
completed: [1,2,false]

main started as a fork at 3
step charge given 1
step charge gave 1
step charge#2 given 2
step charge#2 gave 2
completed: [1,2,false]
