main started
step book given "flight"
step book#2 given "hotel"
step book#2 gave "hotel"
step book gave "flight"
step book#3 given "car"
step book#3 gave "car"
step pay given 1
step pay failed: permission: no
step pay given up after 1 (class)
compensating [cancel, cancel, cancel] because permission: no
step cancel given "car", undoing step book#3
step cancel gave "car"
step cancel#2 given "hotel", undoing step book#2
step cancel#2 gave "hotel"
step cancel#3 given "flight", undoing step book
step cancel#3 gave "flight"
ended: permission: no, 3 undone
