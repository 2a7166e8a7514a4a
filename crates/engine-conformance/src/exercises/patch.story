main started
step work given "old"
step work gave "old"
signal go is awaited
recovered
signal go received: null
patch greet taken
status: greeted
step work#2 given "last"
step work#2 gave "last"
completed: "last"

main started
patch check first taken
step work given "check"
step work gave "check"
step work#2 given "old"
step work#2 gave "old"
signal go is awaited
signal go received: null
patch greet taken
status: greeted
step work#3 given "last"
step work#3 gave "last"
completed: "last"
