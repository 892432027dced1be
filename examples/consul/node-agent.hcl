# The agents of pp on a node (pp converge, pp status): they read intent, write the leases, and register
# the services of the apps with this host's Consul agent. Of all services the policy can also name those
# of the apps that run here: service "slug" { policy = "write" }.

key_prefix "nodes/" { policy = "read" }
key_prefix "clusters/" { policy = "read" }
key_prefix "owners/" { policy = "read" }
key_prefix "locks/" { policy = "write" }
key "pp/store" { policy = "read" }

service_prefix "" { policy = "write" }
# To count who is up: what runs on a node that may not be read is not seen.
node_prefix "" { policy = "read" }
