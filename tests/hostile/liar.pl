#!/usr/bin/perl
# A proxy in front of an HTTP server that counts, and that lies when it is told to.
#
#     liar.pl PORTFILE LOG LIES [UPSTREAM_PORT]
#
# Listens on a port of 127.0.0.1 that the kernel picks, and writes it to PORTFILE. Each request is a
# line in LOG: the number of its connection, method, path. LIES is read afresh for each request: the
# first of its lines "REGEX KIND [ARGUMENT]" whose REGEX (without a blank) matches "METHOD PATH" says
# how it is answered:
#
#     status CODE TEXT   with this status and text (and X-Consul-Index unless TEXT begins with "bare")
#     body TEXT          200 with this body
#     header NAME VALUE  truly, but with this header
#     half               truly, but the body ends in its middle, where its length says it does
#     cut                truly, but the connection is closed in the middle of the body
#     reset              the same, by a reset
#     silent             the connection is closed without an answer
#     huge               200, and a body that does not end
#     slow SECONDS       truly, but late
#     replace FROM TO    truly, but with FROM (a regular expression) replaced in the body
#     file PATH          200 with the bytes of this file
#     raw PATH           the bytes of this file and nothing else, then the connection is closed
#     run COMMAND        truly, but after this shell command has been carried out
#     nth N KIND ...     the Nth request of its connection as KIND says, the others truly
#
# Without UPSTREAM_PORT what matches no line is a 200 with an empty object.
use strict;
use warnings;
use IO::Handle;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);

my ($portfile, $log, $lies, $upstream) = @ARGV;
my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp',
	ReuseAddr => 1) or die "listen: $!";

sub publish {
	open(my $f, '>', "$portfile.new") or die "$portfile: $!";
	print $f $server->sockport, "\n";
	close $f;
	rename "$portfile.new", $portfile or die "$portfile: $!";
}

sub note {
	open(my $f, '>>', $log) or die "$log: $!";
	syswrite $f, join(' ', @_) . "\n";
	close $f;
}

# The lie for a request, as KIND and ARGUMENT.
sub find_lie {
	my ($request) = @_;
	open(my $f, '<', $lies) or return ('truth', '');
	while (my $line = <$f>) {
		chomp $line;
		my ($regex, $kind, $argument) = split / /, $line, 3;
		return ($kind, $argument // '') if defined $kind && $request =~ /$regex/;
	}
	return ('truth', '');
}

# Read head and body of one message; undef at the end of the connection.
sub read_request {
	my ($c) = @_;
	my $head = '';
	while (my $line = <$c>) {
		$head .= $line;
		last if $line =~ /^\r?\n$/;
	}
	return undef if $head !~ /\r?\n\r?\n$/;
	my $body = '';
	read($c, $body, $1) if $head =~ /^content-length:\s*(\d+)/im;
	return ($head, $body);
}

# Ask the server behind. As HTTP/1.0, so that its answer ends with the connection and is not chunked.
sub ask {
	my ($head, $body) = @_;
	return ("HTTP/1.1 200 OK\r\n", '{}') if !$upstream;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $upstream)
		or return ("HTTP/1.1 502 Bad Gateway\r\n", 'nobody there');
	$head =~ s{ HTTP/1\.1\r?\n}{ HTTP/1.0\r\n};
	$head =~ s/^connection:.*\r?\n//img;
	print $s $head, $body;
	$s->flush;
	my $answer = do { local $/; <$s> } // '';
	my ($h, $b) = split /\r?\n\r?\n/, $answer, 2;
	$h = ($h // 'HTTP/1.1 502 Bad Gateway') . "\r\n";
	$h =~ s{^HTTP/1\.0}{HTTP/1.1};
	$h =~ s/^(content-length|connection|transfer-encoding):.*\r?\n//img;
	return ($h, $b // '');
}

sub reply {
	my ($c, $head, $body) = @_;
	print $c $head, 'Content-Length: ', length $body, "\r\n\r\n", $body;
	$c->flush;
	return 1;
}

# Answer one request. Returns whether the connection goes on.
sub answer {
	my ($c, $head, $body, $nth, $kind, $argument) = @_;
	if ($kind eq 'nth') {
		(my $wanted, $kind, $argument) = split / /, $argument, 3;
		($kind, $argument) = ('truth', '') if $wanted != $nth;
		$argument //= '';
	}
	if ($kind eq 'run') {
		local $SIG{CHLD} = 'DEFAULT';
		system 'sh', '-c', $argument;
	}
	if ($kind eq 'file' || $kind eq 'raw') {
		open(my $f, '<:raw', $argument) or die "$argument: $!";
		my $bytes = do { local $/; <$f> };
		print $c $bytes if $kind eq 'raw';
		return 0 if $kind eq 'raw';
		return reply($c, "HTTP/1.1 200 OK\r\n", $bytes);
	}
	if ($kind eq 'status') {
		my ($code, $text) = split / /, $argument, 2;
		$text //= '';
		my $index = $text =~ s/^bare ?// ? '' : "X-Consul-Index: 7\r\n";
		return reply($c, "HTTP/1.1 $code Told\r\n$index", $text);
	}
	return reply($c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", $argument)
		if $kind eq 'body';
	return 0 if $kind eq 'silent';
	if ($kind eq 'huge') {
		print $c "HTTP/1.1 200 OK\r\n\r\n" or return 0;
		my $block = ' ' x 1048576;
		while (print $c $block) { }
		return 0;
	}
	sleep $argument if $kind eq 'slow';
	my ($h, $b) = ask($head, $body);
	my $middle = int(length($b) / 2);
	if ($kind eq 'header') {
		my ($name, $value) = split / /, $argument, 2;
		$h =~ s/^\Q$name\E:.*\r?\n//img;
		$h .= "$name: $value\r\n";
	} elsif ($kind eq 'half') {
		$b = substr $b, 0, $middle;
	} elsif ($kind eq 'replace') {
		my ($from, $to) = split / /, $argument, 2;
		$b =~ s/$from/$to/g;
	} elsif ($kind eq 'cut' || $kind eq 'reset') {
		# One more than there is, so that an empty body is cut short, too.
		print $c $h, 'Content-Length: ', length($b) + 1, "\r\n\r\n", substr($b, 0, $middle);
		$c->flush;
		if ($kind eq 'reset') {
			select undef, undef, undef, 0.05;
			setsockopt $c, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
		}
		return 0;
	}
	return reply($c, $h, $b);
}

sub serve {
	my ($c, $number) = @_;
	binmode $c;
	$c->autoflush(1);
	my $nth = 0;
	while (my ($head, $body) = read_request($c)) {
		last if !defined $head;
		my ($method, $path) = $head =~ /^(\S+) (\S+)/;
		note($number, $method, $path);
		last if !answer($c, $head, $body, ++$nth, find_lie("$method $path"));
	}
	close $c;
}

$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';
publish();
for (my $number = 1; ; $number++) {
	my $c = $server->accept or next;
	if (!fork) {
		close $server;
		serve($c, $number);
		exit 0;
	}
	close $c;
}
