#!/usr/bin/perl
# Try ports of a host, all at the same time, and say of each whether it answers.
#
#     reach.pl IPV4 IPV6 {tcp|udp}{4|6}:PORT[@SOURCE]...
#
# Prints "SPEC=open" (an answer came), "SPEC=closed" (none did), "SPEC=refused" (a no did).
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);

my ($v4, $v6, @specs) = @ARGV;

sub address {
	my ($family, $host, $port) = @_;

	return $family == 6 ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $host)) :
	    pack_sockaddr_in($port, inet_pton(AF_INET, $host));
}

sub try {
	my ($proto, $family, $port, $source) = $_[0] =~ /^(tcp|udp)([46]):(\d+)(?:@(.*))?$/;
	my ($got, $s);

	socket($s, $family == 6 ? PF_INET6 : PF_INET, $proto eq 'udp' ? SOCK_DGRAM : SOCK_STREAM, 0)
	    or die "socket: $!";
	!defined $source or bind($s, address($family, $source, 0)) or die "bind $source: $!";
	# What is dropped is dropped for good; who is late may be late by a second.
	local $SIG{ALRM} = sub { die "late\n" };
	alarm 1;

	my $done = eval {
		connect($s, address($family, $family == 6 ? $v6 : $v4, $port)) or return 0;
		$proto eq 'tcp' or send($s, "ping\n", 0) or return 0;
		$got = sysread($s, my $text, 100);
		1;
	};
	alarm 0;
	return 'closed' if $@ eq "late\n";
	return $done && $got ? 'open' : 'refused';
}

my @answers;
for my $spec (@specs) {
	my $pipe;
	defined(my $pid = open($pipe, '-|')) or die "fork: $!";
	if ($pid == 0) {
		print try($spec);
		exit 0;
	}
	push @answers, $pipe;
}
for my $i (0 .. $#specs) {
	my $answer = readline $answers[$i];
	print "$specs[$i]=", $answer // 'died', "\n";
}
