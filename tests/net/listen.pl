#!/usr/bin/perl
# Answer "pong" on ports of this host, over IPv4 and IPv6, until killed.
#
#     listen.pl READY tcp:PORT|udp:PORT|drip:PORT[:COUNT]...
#
# READY is a file that is made once all are listened on. A "drip" is TCP: COUNT lines (60), one each
# 50 ms.
use strict;
use warnings;
use Socket qw(:DEFAULT pack_sockaddr_in6 IN6ADDR_ANY);

my ($ready, @specs) = @ARGV;
my @sockets;

$SIG{CHLD} = 'IGNORE';
for my $spec (@specs) {
	my ($kind, $port, $count) = split /:/, $spec;

	socket(my $s, PF_INET6, $kind eq 'udp' ? SOCK_DGRAM : SOCK_STREAM, 0) or die "socket: $!";
	setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) or die "reuse: $!";
	bind($s, pack_sockaddr_in6($port, IN6ADDR_ANY)) or die "bind $spec: $!";
	$kind eq 'udp' or listen($s, 64) or die "listen $spec: $!";
	push @sockets, [$kind, $s, $count || 60];
}
open(my $f, '>', $ready) or die "$ready: $!";
close $f;

sub drip {
	my ($to, $count) = @_;

	defined(my $pid = fork) or die "fork: $!";
	return if $pid;
	for my $i (1 .. $count) {
		syswrite($to, "$i\n") or last;
		select(undef, undef, undef, 0.05);
	}
	exit 0;
}

for (;;) {
	my $set = '';

	vec($set, fileno($_->[1]), 1) = 1 for @sockets;
	select(my $hot = $set, undef, undef, undef) > 0 or next;
	for (@sockets) {
		my ($kind, $s, $count) = @$_;

		next unless vec($hot, fileno($s), 1);
		if ($kind eq 'udp') {
			my $from = recv($s, my $text, 100, 0);
			send($s, "pong\n", 0, $from) if defined $from;
			next;
		}
		accept(my $c, $s) or next;
		$kind eq 'drip' ? drip($c, $count) : syswrite($c, "pong\n");
		close $c;
	}
}
