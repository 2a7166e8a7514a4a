main started
step charge given 5
step charge failed: server: no
step charge wait for attempt 2 of 2 (backoff)
step charge wait for attempt 2 is over
step charge attempt 2
step charge failed: server: no
step charge given up after 2 (attempts)
ended: server: no
