# A deployer: all of intent. Who may write deploy_config can run anything as root on the nodes.

key_prefix "nodes/" { policy = "write" }
key_prefix "clusters/" { policy = "write" }
key_prefix "owners/" { policy = "write" }
key_prefix "history/" { policy = "write" }
key_prefix "locks/" { policy = "write" }
key "pp/store" { policy = "write" }

service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
