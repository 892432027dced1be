# The agents of pp on a node (pp converge, pp status): they read intent, and write the leases and
# the services of the apps.

key_prefix "nodes/" { policy = "read" }
key_prefix "clusters/" { policy = "read" }
key_prefix "owners/" { policy = "read" }
key_prefix "locks/" { policy = "write" }
key "pp/store" { policy = "read" }

service_prefix "" { policy = "write" }
node_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
