# A developer of the app slug in its cluster production: its config, and the history of that.
# setup-acl.sh makes the policy of another app or cluster out of this one, by the two names.

key "clusters/slug/production/config" { policy = "write" }
key_prefix "history/slug/production/" { policy = "write" }

key_prefix "nodes/" { policy = "read" }
key_prefix "clusters/" { policy = "read" }
key_prefix "owners/" { policy = "read" }
key_prefix "history/" { policy = "read" }
key_prefix "locks/" { policy = "read" }
key "pp/store" { policy = "read" }
