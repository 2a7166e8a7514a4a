main started
step give given 1
step give failed: invalid_request: payload of 4194306 bytes is over the limit of 4194304 bytes
step give given up after 1 (class)
ended: invalid_request: payload of 4194306 bytes is over the limit of 4194304 bytes
