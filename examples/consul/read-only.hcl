# Who may look at everything, and change nothing: pp intent get, diff, history, watch, export.

key_prefix "nodes/" { policy = "read" }
key_prefix "clusters/" { policy = "read" }
key_prefix "owners/" { policy = "read" }
key_prefix "history/" { policy = "read" }
key_prefix "locks/" { policy = "read" }
key "pp/store" { policy = "read" }

service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
