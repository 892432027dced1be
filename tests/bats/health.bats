#!/usr/bin/env bats
# Asking apps for their health: real listeners, a real HTTP server, real programs.

load helper
load node

setup() {
	helper_setup
	# Programs run as other users, who have to get there.
	APP=$(mktemp -d /tmp/pp-health.XXXXXX)
	chmod 0755 "$APP"
}

teardown() {
	helper_teardown
	rm -rf "$APP"
}

# health WORD...: as tests/drivers/health.c has it.
health() {
	"$PP_BUILD/drivers/health" "$@"
}

# asked TEXT WORD...: that is the verdict and the text, a pattern of [[ == ]].
asked() {
	run -0 health "${@:2}"
	# shellcheck disable=SC2053
	[[ $output == $1 ]] || fail "not \"$1\" but: $output"
}

# program LINE...: a script, $APP/check.
program() {
	printf '%s\n' '#!/bin/sh' "$@" >"$APP/check"
	chmod 0755 "$APP/check"
}

# perl_server SCRIPT: perl with a listener $l on $PORT of $1 ("127.0.0.1"; "::1"), at $PORT.
perl_server() {
	PORT=$(free_port)
	rm -f "$BATS_TEST_TMPDIR/server.log"
	spawn server perl -MSocket -MIO::Socket::IP -e '$| = 1;
		my $l = IO::Socket::IP->new(LocalHost => $ARGV[0], LocalPort => $ARGV[1], Listen => 5,
			ReuseAddr => 1) or die "listen: $@";
		print "ready\n";'"$2" -- "$1" "$PORT"
	wait_until grep -q ready "$BATS_TEST_TMPDIR/server.log"
}

# --- tcp

@test "what only the supervisor knows passes" {
	asked 'passing: *' supervisor=1
}

@test "a port that is listened on passes, on IPv4 or IPv6; one that is not is critical" {
	perl_server 127.0.0.1 'sleep 100'
	asked 'passing: *' tcp="$PORT"
	despawn "$SPAWNED" KILL
	asked 'critical: connect to port * of localhost: Connection refused' tcp="$PORT"
	perl_server ::1 'sleep 100'
	asked 'passing: *' tcp="$PORT"
	asked 'critical: *names no port*' tcp=0
}

@test "a listener that takes no connections any more is critical when the time is up" {
	perl_server 127.0.0.1 'listen($l, 0); my @c;
		for (1 .. 3) { socket(my $s, PF_INET, SOCK_STREAM, 0); $s->blocking(0);
			connect($s, pack_sockaddr_in($ARGV[1], INADDR_LOOPBACK)); push @c, $s }
		print "full\n"; sleep 100'
	wait_until grep -q full "$BATS_TEST_TMPDIR/server.log"
	asked 'critical: *in time' tcp="$PORT" timeout=300
}

@test "a connection to itself is none" {
	need_root
	# Of so few ports for clients, the one that is asked for is soon picked.
	unshare --net bash -euc 'ip link set lo up
		echo 40000 40001 >/proc/sys/net/ipv4/ip_local_port_range
		for i in {1..40}; do "$1" tcp=40000; done' - "$PP_BUILD/drivers/health" >"$APP/answers"
	[ "$(wc -l <"$APP/answers")" = 40 ]
	run ! grep -q passing "$APP/answers"
}

# --- http

@test "the status of an HTTP answer is the verdict" {
	mkdir "$APP/www"
	http_start "$APP/www" - <<-'EOT'
		location /fine { return 200 "ok\nmore\n"; }
		location /none { return 204; }
		location /away { return 302 /fine; }
		location /busy { return 429 "slow down"; }
		location /down { return 503 "no \033[31mdatabase"; }
	EOT
	port=${HTTP_URL##*:}
	head -c 3000000 /dev/zero >"$APP/www/large"
	asked 'passing: HTTP status 200: ok' http="$port/fine"
	asked 'passing: HTTP status 204' http="$port/none"
	asked 'critical: HTTP status 302*' http="$port/away"
	asked 'warning: HTTP status 429: slow down' http="$port/busy"
	asked 'critical: HTTP status 503: no *database' http="$port/down"
	[[ $output != *$'\e'* ]]
	asked 'critical: HTTP status 404*' http="$port/missing"
	asked 'passing: HTTP status 200' http="$port/large"
	asked 'passing: HTTP status 200*' http="$port/fine?x=1"
	wait_until grep -q '"GET /fine?x=1 HTTP/1.1" 200' "$HTTP_LOG"
	http_stop
	asked 'critical: *Connection refused' http="$port/fine"
}

@test "a path that is none of a URL's is asked of nobody" {
	perl_server 127.0.0.1 'while (my $c = $l->accept) { print "asked\n" }'
	asked "critical: the check's path *" http="$PORT/x HTTP/1.1
X: y"
	asked "critical: the check's path *" http="$PORT/a b"
	asked 'critical: *names no port*' http=0/x
	run ! grep -q asked "$BATS_TEST_TMPDIR/server.log"
}

@test "a server that says nothing, nonsense, or one letter at a time is critical" {
	perl_server 127.0.0.1 'my @c; while (my $c = $l->accept) { push @c, $c }'
	asked 'critical: *no answer in time' http="$PORT/" timeout=300
	despawn "$SPAWNED" KILL
	perl_server 127.0.0.1 'while (my $c = $l->accept) { <$c>; print $c "hello\r\n\r\n" }'
	asked 'critical: *does not speak HTTP*' http="$PORT/"
	despawn "$SPAWNED" KILL
	perl_server 127.0.0.1 '$SIG{PIPE} = "IGNORE"; while (my $c = $l->accept) { $c->autoflush;
		print $c "HTTP/1.1 200 OK\r\nX: "; for (1 .. 60) { print $c "x" or last; select undef, undef, undef, 0.05 } }'
	asked 'critical: *no answer in time' http="$PORT/" timeout=500
	despawn "$SPAWNED" KILL
	perl_server ::1 'while (my $c = $l->accept) { <$c>; print $c "HTTP/1.0 200 OK\r\n\r\nsix\n" }'
	asked 'passing: HTTP status 200: six' http="$PORT/"
}

# --- exec

@test "the exit status of a program is the verdict, and the first line that it prints the text" {
	program 'echo; echo "all is well "; echo more; exit "$1"'
	asked 'passing: exit status 0: all is well' exec="$APP/check" arg=0
	asked 'warning: exit status 1: all is well' exec="$APP/check" arg=1
	asked 'critical: exit status 2: all is well' exec="$APP/check" arg=2
	asked 'unknown: exit status 3: all is well' exec="$APP/check" arg=3
	asked 'critical: exit status 77: all is well' exec="$APP/check" arg=77
	program 'kill -9 $$'
	asked 'critical: exit status 137, as by signal 9' exec="$APP/check"
	program 'echo on stderr >&2; exit 2'
	asked 'critical: exit status 2: on stderr' exec="$APP/check"
}

@test "what a program prints is made safe, and cut" {
	program 'printf "\0\n\1\033[31mred\377\n"'
	asked 'passing: exit status 0: \\x01\\x1b\[31mred\\xff' exec="$APP/check"
	program 'head -c 100000 /dev/zero | tr "\0" x'
	asked 'passing: exit status 0: xxx*' exec="$APP/check"
	[ "${#output}" -le 320 ]
	program 'head -c 1000000 /dev/urandom'
	asked 'passing: *' exec="$APP/check"
	[ "${#lines[@]}" = 1 ]
}

@test "a program that hangs, ignores TERM, or prints without end is killed with its children" {
	program 'trap "" TERM; echo hm; sleep 1000003 & sleep 1000003'
	asked 'critical: * did not end in time, killed; it said: hm' exec="$APP/check" timeout=300
	wait_until eval '! pgrep -f "^sleep 1000003"'
	program 'exec yes'
	asked 'critical: * did not end in time, killed; it said: y' exec="$APP/check" timeout=300
}

@test "what a program leaves behind ends with it" {
	program 'sleep 1000004 & yes pp-left >/dev/null & yes pp-left & exit 0'
	asked 'passing: exit status 0*' exec="$APP/check"
	wait_until eval '! pgrep -f "^sleep 1000004"'
	wait_until eval '! pgrep -f "^yes pp-left"'
}

@test "a program gets its environment and its directory, and nothing of pp's" {
	program 'echo $(env | grep -v -e ^_= -e ^SHLVL= -e ^PWD=) $(pwd) $(ls /proc/self/fd) $(cat) $(ps -o sid= -p $$) $$'
	exec 7</dev/null
	CONSUL_HTTP_TOKEN=secret run -0 health exec="$APP/check" env=B=2 env=A=1 cwd="$APP"
	exec 7<&-
	read -r _ _ _ _ a b dir f0 f1 f2 f3 sid pid <<<"$output"
	[ "$(printf '%s\n' "$a" "$b" | sort | xargs)" = "A=1 B=2" ]
	[ "$dir" = "$APP" ]
	[ "$f0 $f1 $f2 $f3" = "0 1 2 3" ]
	[ "$sid" = "$pid" ]
	asked 'critical: open /nowhere: *' exec="$APP/check" cwd=/nowhere
}

@test "a program runs as the app's user, with that user's groups and no privilege left" {
	need_root
	program 'echo $(id -u):$(id -g):$(id -G) $(grep -E "^Cap(Prm|Eff|Amb)" /proc/self/status | cut -f 2 | sort -u)' \
		'exec 2>/dev/null; ! cat /etc/shadow >/dev/null'
	run -0 setpriv --groups=4,24 "$PP_BUILD/drivers/health" exec="$APP/check" user=nobody
	[ "$output" = "passing: exit status 0: 65534:65534:65534 0000000000000000" ]
	asked "passing: exit status 0: 1:1:$(id -G daemon) 0000000000000000" exec="$APP/check" user=daemon
	program 'env | grep -v -e ^_= -e ^SHLVL= -e ^PWD=; :'
	CONSUL_HTTP_TOKEN=secret asked 'passing: exit status 0' exec="$APP/check" user=nobody
	# It has to get there by itself.
	mkdir -m 0700 "$APP/closed"
	asked 'critical: run *: Permission denied' exec="$APP/check" user=nobody cwd="$APP/closed"
	chmod 0744 "$APP/check"
	asked 'critical: run *: Permission denied' exec="$APP/check" user=nobody
}

@test "a program dies with pp, also as another user" {
	need_root
	program 'echo $$ >"$1"; exec sleep 1000005'
	: >"$APP/pid"
	chmod 0666 "$APP/pid"
	spawn asking "$PP_BUILD/drivers/health" exec="$APP/check" arg="$APP/pid" user=nobody timeout=100000
	wait_until test -s "$APP/pid"
	[ "$(stat -c %U "/proc/$(cat "$APP/pid")")" = nobody ]
	kill -9 "$SPAWNED"
	wait_until is_gone "$(cat "$APP/pid")"
}

@test "what is no program is not run, and no shell makes do with it" {
	asked 'critical: *: there is no such program' exec="$APP/missing"
	asked 'critical: *: it is no regular file' exec="$APP"
	program 'exit 0'
	chmod 0644 "$APP/check"
	asked 'critical: *: it is not executable*' exec="$APP/check"
	printf 'touch %s\n' "$APP/ran" >"$APP/check"
	chmod 0755 "$APP/check"
	asked 'critical: run *: Exec format error' exec="$APP/check"
	[ ! -e "$APP/ran" ]
	mkfifo -m 0755 "$APP/pipe"
	asked 'critical: *: it is no regular file' exec="$APP/pipe"
}

@test "the end of the run's own time says nothing about the app" {
	asked 'unknown: *the time of this run was up' exec=/bin/sleep arg=100 deadline=200
	asked 'unknown: *the time of this run was up' tcp=1 deadline=0
}
