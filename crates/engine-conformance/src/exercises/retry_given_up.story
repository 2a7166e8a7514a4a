main started
step refused given 1
step refused failed: invalid_request: no
step refused given up after 1 (class)
step down given 1
step down failed: server: no
step down wait for attempt 2 of 2 (backoff)
step down wait for attempt 2 is over
step down attempt 2
step down failed: server: no
step down given up after 2 (attempts)
ended: server: no
