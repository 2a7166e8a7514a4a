main started
step work given 1
step work gave 1
signal go is awaited
signal go received: true
completed: true
