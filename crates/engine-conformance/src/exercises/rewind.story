main started
step work given 1
step work gave 1
step broken given 2
step broken failed: invalid_request: broken
step broken given up after 1 (class)
signal approve is awaited
signal approve received: "by ann"
ended: invalid_request: broken
rewound to 3 by ann
step broken given 2
step broken gave 2
signal approve#2 is awaited
completed: "by ann"
