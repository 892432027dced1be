#!/usr/bin/perl
# A web server that does what no decent one does, when it is told to.
#
#     odd.pl PORTFILE LOG ROOT PLAN
#
# Listens on a port of 127.0.0.1 that the kernel picks, and writes it to PORTFILE. It serves the files in
# ROOT, with ETag, Last-Modified and ranges; one connection at a time. Each request is a line in LOG: its
# connection, path, and the headers Range, If-Range, Authorization and X-Token where it has them; where a
# body could not be sent whole, a line "sent N" follows. PLAN is read afresh for each request; its lines
#
#     REGEX TIMES KIND [ARGUMENT]
#
# say how requests are answered whose path REGEX matches, the first TIMES times (* for ever):
#
#     status CODE [HEADER | HEADER...]   with this status, these headers, and no body to speak of
#     set HEADER | HEADER...             truly, but with these headers instead of the ones of that name,
#                                        or without it where the value is empty; with another length,
#                                        the connection is closed at the end
#     length N                           truly, but it says that it is N bytes long
#     cut N                              N bytes of the body, then the connection is closed
#     reset N                            the same, by a reset
#     drip N                             the body, N bytes a second
#     drip-head                          the headers, a byte a second
#     whole                              all of it, whatever range is asked for
#     range TEXT                         206 and Content-Range: TEXT, with what was asked for
#     liar                               the rest of it as asked, whatever If-Range says
#     chunked                            truly, but chunked, and so without a length
#     silent                             the connection is closed without an answer
#     mute                               no answer at all, until the client goes
#     headers                            headers that do not end
#     line                               one header that does not end
#     endless CODE                       this status, and a body that does not end
#     raw TEXT                           this, and nothing of HTTP
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use POSIX qw(strftime);
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes ();

my ($portfile, $log, $root, $plan) = @ARGV;
my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp',
	ReuseAddr => 1) or die "listen: $!";
my %used;

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

sub find_plan {
	my ($path) = @_;
	open(my $f, '<', $plan) or return ('truth', '');
	# Each plan counts anew, even where it says the same as the one before.
	my $id = join ' ', (Time::HiRes::stat($f))[1, 9];
	while (my $line = <$f>) {
		chomp $line;
		my ($regex, $times, $kind, $argument) = split / /, $line, 4;
		next if !defined $kind || $path !~ /$regex/;
		next if $times ne '*' && ($used{"$id $line"} // 0) >= $times;
		$used{"$id $line"}++;
		return ($kind, $argument // '');
	}
	return ('truth', '');
}

# Has the client gone, or sent something?
sub stirs {
	my ($c, $seconds) = @_;
	return IO::Select->new($c)->can_read($seconds);
}

# Send something for ever, or until the client goes.
sub endless {
	my ($c, $block) = @_;
	my $sent = 0;
	while (defined(my $n = syswrite $c, $block)) {
		$sent += $n;
	}
	note('sent', $sent);
	return 0;
}

# Send a text N bytes a second.
sub drip {
	my ($c, $text, $n) = @_;
	my $sent = 0;
	while ($sent < length $text) {
		syswrite $c, substr $text, $sent, $n or last;
		$sent += $n;
		last if stirs($c, 1);
	}
	note('sent', $sent);
	return 0;
}

sub file {
	my ($path) = @_;
	return undef if $path =~ m{(^|/)\.\.(/|$)};
	open(my $f, '<:raw', "$root$path") or return undef;
	return undef if !-f $f;
	my $data = do { local $/; <$f> };
	return { data => $data, etag => '"' . substr(sha256_hex($data), 0, 16) . '"',
		date => strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime((stat $f)[9])) };
}

sub with_headers {
	my ($head, $text) = @_;
	for my $header (split / \| /, $text) {
		my ($name, $value) = split /: ?/, $header, 2;
		$head =~ s/^\Q$name\E:.*\r\n//img;
		$head .= "$name: $value\r\n" if defined $value && $value ne '';
	}
	return $head;
}

# The true answer: its head without a length, and its body.
sub truth {
	my ($file, $h, $kind, $argument) = @_;
	my $head = "HTTP/1.1 200 OK\r\nETag: $file->{etag}\r\nLast-Modified: $file->{date}\r\n" .
		strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime);
	my $size = length $file->{data};
	my $if = $h->{'if-range'};
	return ($head, $file->{data}) if $kind eq 'whole' || ($h->{range} // '') !~ /^bytes=(\d+)-$/ ||
		($kind ne 'liar' && defined $if && $if ne $file->{etag} && $if ne $file->{date});
	my $from = $1;
	return ("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */$size\r\n", '') if $from >= $size;
	my $range = $kind eq 'range' ? $argument : "bytes $from-" . ($size - 1) . "/$size";
	$head =~ s/200 OK/206 Partial Content/;
	return ("${head}Content-Range: $range\r\n", substr $file->{data}, $from);
}

# Send a head and a body, as far as the plan goes. Returns whether the connection goes on.
sub deliver {
	my ($c, $head, $body, $kind, $argument) = @_;
	$head .= 'Content-Length: ' . ($kind eq 'length' ? $argument : length $body) . "\r\n"
		if $kind ne 'chunked';
	$head = with_headers($head, $argument) if $kind eq 'set';
	if ($kind eq 'chunked') {
		my $half = length($body) >> 1;
		print $c $head, "Transfer-Encoding: chunked\r\n\r\n",
			map { sprintf("%x\r\n%s\r\n", length $_, $_) } substr($body, 0, $half), substr($body, $half), '';
		$c->flush;
		return 1;
	}
	return drip($c, "$head\r\n$body", 1) if $kind eq 'drip-head';
	print $c $head, "\r\n";
	$c->flush;
	return drip($c, $body, $argument) if $kind eq 'drip';
	if ($kind eq 'cut' || $kind eq 'reset') {
		print $c substr $body, 0, $argument;
		$c->flush;
		# So that it is read before the reset comes.
		select undef, undef, undef, 0.3;
		setsockopt $c, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $kind eq 'reset';
		return 0;
	}
	print $c $body;
	$c->flush;
	return $kind ne 'length' && ($kind ne 'set' || $argument !~ /content-length/i);
}

# Answer one request. Returns whether the connection goes on.
sub answer {
	my ($c, $path, $h) = @_;
	my ($kind, $argument) = find_plan($path);
	return 0 if $kind eq 'silent';
	if ($kind eq 'mute') {
		stirs($c, 600);
		return 0;
	}
	if ($kind eq 'raw') {
		print $c $argument;
		$c->flush;
		return 0;
	}
	if ($kind eq 'headers' || $kind eq 'line') {
		syswrite $c, "HTTP/1.1 200 OK\r\nX-Long: ";
		return endless($c, $kind eq 'line' ? 'x' x 4096 : "x\r\nX-Many: y\r\nX-Long: ");
	}
	if ($kind eq 'endless') {
		syswrite $c, "HTTP/1.1 $argument Told\r\nConnection: close\r\n\r\n";
		return endless($c, 'x' x 65536);
	}
	if ($kind eq 'status') {
		my ($code, $headers) = split / /, $argument, 2;
		return deliver($c, with_headers("HTTP/1.1 $code Told\r\n", $headers // ''), "told\n", '', '');
	}
	my $file = file($path) or return deliver($c, "HTTP/1.1 404 Not Found\r\n", "none\n", '', '');
	my ($head, $body) = truth($file, $h, $kind, $argument);
	return deliver($c, $head, $body, $kind, $argument);
}

sub serve {
	my ($c, $number) = @_;
	binmode $c;
	while (1) {
		my ($line, %h) = (scalar <$c>);
		last if !defined $line || $line !~ /^GET (\S+) HTTP/;
		my $path = $1;
		while (defined($line = <$c>) && $line =~ /^([^:\r\n]+):\s*(.*?)\s*\r?\n$/) {
			$h{lc $1} = $2;
		}
		note($number, $path, map { defined $h{$_} ? "$_=$h{$_}" : () } qw(range if-range authorization x-token));
		last if !answer($c, $path, \%h);
	}
	close $c;
}

$SIG{PIPE} = 'IGNORE';
publish();
for (my $number = 1; ; $number++) {
	my $c = $server->accept or next;
	serve($c, $number);
}
