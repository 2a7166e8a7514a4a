main started
step down given 1
step down failed: server: no
step down wait for attempt 2 of 100 (backoff)
step down wait for attempt 2 is over
step down attempt 2
step down failed: server: no
step down given up after 2 (elapsed)
ended: server: no
