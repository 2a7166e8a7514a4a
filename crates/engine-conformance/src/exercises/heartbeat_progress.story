main started
step copy given 1
step copy beats {"copied":1}
step copy beats {"copied":2}
step copy failed: connection: cut
step copy wait for attempt 2 of 5 (backoff)
step copy wait for attempt 2 is over
step copy attempt 2
step copy gave {"copied":2}
completed: {"copied":2}
