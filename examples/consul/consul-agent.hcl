# Consul's own agents: that they may enter themselves into the catalog. Not for pp.

node_prefix "" { policy = "write" }
service_prefix "" { policy = "read" }
