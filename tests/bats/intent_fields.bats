#!/usr/bin/env bats
# The fields that say how an app is checked, limited, restarted and rolled out: set, refused, checked.

load helper
load store

setup() {
	helper_setup
	store_dir
	FILE=$BATS_TEST_TMPDIR/file.json
}

set_slug() {
	pp intent set slug/demo versions=abc:prep,def:active min_nodes=2 basedir=/data/slug \
		ports=1212,1231 users=xavier,don user_config.some_value=hello >/dev/null
}

@test "how an app is checked, limited and restarted is set by its parts, each of the right type" {
	set_slug
	run -0 pp intent set slug check.http=/health env.FOO=bar limits.memory=512M canary=2 on_failure=revert \
		restart=never supervisor=systemd
	[ "$output" = "canary: (none) -> 2
on_failure: (none) -> revert
check.http: (none) -> /health
env.FOO: (none) -> bar
limits.memory: (none) -> 512M
restart: (none) -> never
supervisor: (none) -> systemd" ]
	[ "$(json clusters/slug/demo/config '[.canary,.on_failure]')" = '[2,"revert"]' ]
	[ "$(json clusters/slug/demo/deploy_config '[.check,.env,.limits,.restart,.supervisor]')" = \
		'[{"http":"/health"},{"FOO":"bar"},{"memory":"512M"},"never","systemd"]' ]
	pp intent set slug check.http- check.tcp=true check.interval=30 check.timeout=500ms env.DEBUG=1 env.FOO- \
		limits.nofile=4096 limits.cpu=1h limits.tasks=100 settle=10s
	[ "$(json clusters/slug/demo/deploy_config '[.check,.env,.limits,.settle]')" = \
		'[{"interval":30,"tcp":true,"timeout":"500ms"},{"DEBUG":"1"},{"cpu":"1h","memory":"512M","nofile":4096,"tasks":100},"10s"]' ]
	pp intent set slug check:='{"exec": ["bin/mine", "-q"]}' limits- env-
	[ "$(json clusters/slug/demo/deploy_config '[.check,.env,.limits]')" = '[{"exec":["bin/mine","-q"]},null,null]' ]
	before=$(store_dump)
	mapfile -t shown < <(pp intent get slug)
	pp intent set slug "${shown[@]}"
	[ "$(store_dump)" = "$before" ]
}

@test "what an app's check, limits or environment cannot be is refused, with what to write" {
	set_slug
	before=$(store_dump)
	while IFS='|' read -r change text; do
		# shellcheck disable=SC2086
		refused 65 "slug/demo: $text" pp intent set slug $change
	done <<-'EOF'
		canary=0|canary: it must be a whole number from 1 to 10000
		on_failure=rollback|on_failure: it must be hold or revert
		supervisor=openrc|supervisor: it must be runit, servicebuilder, systemd or none
		restart=no|restart: it must be auto or never
		settle=long|settle: "long" is not a duration: write
		check.http=health|check.http: it must be the path of a URL, like "/health"
		check.http=/ check.tcp=1|check: it has both http and tcp; remove one of them
		check.interval=5|check: it must have one of http, tcp and exec
		check.http=/ ports-|check.http: there are no ports to ask; name one by check.port, or set ports
		check.tcp=true ports=53/udp|check.tcp: the first port, 53, is not TCP; name one
		check.exec=../x|check.exec: the program must be a path below the install
		check.htpp=/|check.htpp: there is no such part; there are http, tcp, exec
		check.tcp=1 check.timeout=11|check.timeout: it must be from 100 ms to the interval, which is 10 s
		limits.memory=512|limits.memory: it must be from 1M to 1024T
		limits.mem=512M|limits.mem: there is no such part; there are nofile, memory, cpu and tasks
		limits.nofile=many|limits.nofile: it must be a whole number from 1
		env.PP_APP=x|env.PP_APP: that variable is set by pp; choose another name
		env.PORT=80|env.PORT: that variable is set by pp
		env.A-B=x|env.A-B: that is no name of a variable
		env.A:=1|env.A: it must be text; write numbers in quotes
	EOF
	refused 65 "env.A: the value holds a control character" pp intent set slug env.A=$'hidden\n'
	[[ $stderr != *hidden* ]]
	refused 65 "check: it has parts; write check.NAME=value" pp intent set slug check=/health
	[ "$(store_dump)" = "$before" ]
}

@test "a variable whose name looks secret is shown by get alone" {
	set_slug
	run -0 pp intent set slug env.DB_PASSWORD=hunter2 env.LANG=C.UTF-8
	[ "$output" = "env.DB_PASSWORD: (none) -> (secret)
env.LANG: (none) -> C.UTF-8" ]
	run -0 pp intent history slug
	[[ $output != *hunter2* && $output == *C.UTF-8* ]]
	run -0 pp intent set slug env.DB_PASSWORD=hunter3 --show-secrets
	[ "$output" = "env.DB_PASSWORD: hunter2 -> hunter3" ]
	run -0 pp intent get slug env.DB_PASSWORD
	[ "$output" = hunter3 ]
}

@test "check finds every fault of check, limits and env in one go, each at its place" {
	unset PP_STORE
	cat >"$FILE" <<-'EOF'
		{
		  "clusters/slug/demo/config": {"canary": 0, "on_failure": "stop", "min_nodes": 1},
		  "clusters/slug/demo/deploy_config": {
		    "basedir": "/data/slug", "supervisor": "init", "restart": 1,
		    "check": {"http": "x", "port": 0, "interval": 0, "every": 5},
		    "limits": {"nofile": 0, "memory": "much", "nproc": 1},
		    "env": {"PORT": "1", "A B": "x", "C": 1, "D": "x"}
		  },
		  "clusters/slug/b/deploy_config": {
		    "basedir": "/data/slug",
		    "check": {"exec": ["bin/x", "-q", 7], "port": 1}
		  },
		  "clusters/slug/c/deploy_config": {"basedir": "/data/slug", "check": {"tcp": true, "timeout": "1h"}},
		  "clusters/slug/d/deploy_config": {"basedir": "/data/slug", "check": {"tcp": 1, "http": "/"}, "envv": {}, "dev": 1}
		}
	EOF
	run -65 --separate-stderr pp intent check "$FILE"
	while IFS='|' read -r where what; do
		grep -q -F "$FILE:$where: $what" <<<"$stderr" || fail "not told: $where: $what in: $stderr"
	done <<-'EOF'
		2:33|clusters/slug/demo/config: canary: it must be a whole number from 1
		2:46|clusters/slug/demo/config: on_failure: it must be hold or revert
		4:30|clusters/slug/demo/deploy_config: supervisor: it must be runit
		4:52|clusters/slug/demo/deploy_config: restart: it must be auto or never
		5:15|clusters/slug/demo/deploy_config: check.http: it must be the path
		5:28|clusters/slug/demo/deploy_config: check.port: it must be a whole number
		5:39|clusters/slug/demo/deploy_config: check.interval: it must be from 1 s to 1 h
		5:54|clusters/slug/demo/deploy_config: check.every: there is no such part
		6:16|clusters/slug/demo/deploy_config: limits.nofile: it must be a whole number
		6:29|clusters/slug/demo/deploy_config: limits.memory: "much" is not a size
		6:47|clusters/slug/demo/deploy_config: limits.nproc: there is no such part
		7:13|clusters/slug/demo/deploy_config: env.PORT: that variable is set by pp
		7:26|clusters/slug/demo/deploy_config: env.A B: that is no name of a variable
		7:38|clusters/slug/demo/deploy_config: env.C: it must be text
		11:39|clusters/slug/b/deploy_config: check.exec[2]: it must be text
		11:43|clusters/slug/b/deploy_config: check.port: that is for http
		13:72|clusters/slug/c/deploy_config: check.tcp: there are no ports to ask
		13:85|clusters/slug/c/deploy_config: check.timeout: it must be from 100 ms to the interval
		14:62|clusters/slug/d/deploy_config: check: it has both http and tcp
	EOF
	[[ $stderr == *"note: $FILE:14:96: envv: no field that pp knows"*"is env meant?"* ]]
	[[ $stderr != *" dev: "* ]]
	[[ $stderr == *"pp intent check: $FILE: 19 faults" ]]
}

@test "check notes where min_nodes leaves no node that may go down" {
	unset PP_STORE
	for case in 1: 2:just 3:only; do
		jq -n --argjson min "${case%:*}" '{"nodes/web1/slug": {cluster: "demo"}, "nodes/web2/slug": {cluster: "demo"},
			"nodes/web3/slug": {cluster: "other"}, "nodes/web1/slug2": {cluster: "demo"},
			"clusters/slug/demo/config": {min_nodes: $min}, "clusters/slug/demo/deploy_config": {basedir: "/a"},
			"clusters/none/demo/config": {min_nodes: 5}}' >"$FILE"
		run -0 --separate-stderr pp intent check "$FILE"
		if [ -z "${case#*:}" ]; then
			[[ $stderr != *min_nodes* ]]
		else
			[[ $stderr == *"note: clusters/slug/demo/config: min_nodes: ${case%:*} are to be up, and ${case#*:} 2 nodes have it; while all are up none is restarted"* ]]
			[ "$(grep -c min_nodes <<<"$stderr")" = 1 ]
		fi
	done
}
