main started
child good asked for
child good gave 1
child bad asked for
child bad failed: invalid_request: no
completed: [1,"invalid_request"]

good started as a child
step work given 1
step work gave 1
completed: 1

bad started as a child
step refused given 2
step refused failed: invalid_request: no
step refused given up after 1 (class)
ended: invalid_request: no
