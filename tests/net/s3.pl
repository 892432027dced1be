#!/usr/bin/perl
# An object store that speaks as much of S3 as a download needs, and checks each request's signature.
#
#     s3.pl PORTFILE LOG ROOT KEY SECRET [TOKEN]
#
# Listens on a port of 127.0.0.1 that the kernel picks, and writes it to PORTFILE. Buckets are the
# directories in ROOT, keys the files below them, under their decoded names; a request names its bucket
# in the path, or in its Host ("BUCKET.s3..."). A bucket whose name begins with "public" may be read
# without a signature; in one whose name begins with "blind" what is not there is 403, as S3 has it for
# who may not list. Each request is a line in LOG: its connection, method, path, status, and why.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use IO::Handle;
use IO::Socket::INET;
use POSIX qw(strftime);
use Time::Local qw(timegm);

my ($portfile, $log, $root, $key, $secret, $token) = @ARGV;
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

sub decode {
	my ($text) = @_;
	$text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	return $text;
}

# As the signature wants it: each byte but unreserved ones, and / where it divides a path.
sub encode {
	my ($text, $keep) = @_;
	$text =~ s/([^A-Za-z0-9_.~$keep-])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

sub canonical_query {
	my ($query) = @_;
	return join '&', sort map {
		my ($n, $v) = split /=/, $_, 2;
		encode(decode($n), '') . '=' . encode(decode($v // ''), '');
	} split /&/, $query // '';
}

# The signature as it should be, made from what was received.
sub signature {
	my ($method, $path, $query, $headers, $signed, $scope) = @_;
	my ($day, $region, $service) = split m{/}, $scope;
	my $canonical = join "\n", $method, encode(decode($path), '/'), canonical_query($query),
		(map { "$_:$headers->{$_}" } @$signed), '', join(';', @$signed),
		$headers->{'x-amz-content-sha256'};
	my $k = hmac_sha256('aws4_request', hmac_sha256($service,
		hmac_sha256($region, hmac_sha256($day, "AWS4$secret"))));
	return (hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $headers->{'x-amz-date'},
		"$scope/aws4_request", sha256_hex($canonical)), $k), $canonical);
}

sub seconds {
	my ($date) = @_;
	return 0 if $date !~ /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
	return timegm($6, $5, $4, $3, $2 - 1, $1);
}

# undef if the request may be carried out; else S3's code for why not, and what a person may want.
sub refuse {
	my ($method, $path, $query, $h) = @_;
	my $auth = $h->{authorization} // return 'AccessDenied';
	return ('AuthorizationHeaderMalformed', $auth) if $auth !~
		m{^AWS4-HMAC-SHA256[ ]Credential=([^/]+)/(\d{8}/[a-z0-9-]+/s3)/aws4_request,\s*
			SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})$}x;
	my ($id, $scope, $names, $got) = ($1, $2, $3, $4);
	my @signed = split /;/, $names;
	return 'InvalidAccessKeyId' if $id ne $key;
	return ('RequestTimeTooSkewed', $h->{'x-amz-date'} // '')
		if abs(seconds($h->{'x-amz-date'} // '') - time) > 900;
	my $content = $h->{'x-amz-content-sha256'};
	return 'MissingSecurityHeader' if !defined $content;
	return ('XAmzContentSHA256Mismatch', $content)
		if $content ne 'UNSIGNED-PAYLOAD' && $content ne sha256_hex('');
	for my $must ('host', grep { /^x-amz-/ } keys %$h) {
		return ('AccessDenied', "not signed: $must") if !grep { $_ eq $must } @signed;
	}
	return ('SignatureDoesNotMatch', "order: $names") if "@signed" ne join ' ', sort @signed;
	for my $name (@signed) {
		return ('SignatureDoesNotMatch', "not sent: $name") if !exists $h->{$name};
	}
	my ($want, $canonical) = signature($method, $path, $query, $h, \@signed, $scope);
	return ('SignatureDoesNotMatch', $canonical =~ s/\n/\\n/gr) if $want ne $got;
	return 'InvalidToken' if ($h->{'x-amz-security-token'} // '') ne ($token // '');
	return undef;
}

sub reply {
	my ($c, $status, $headers, $body) = @_;
	print $c "HTTP/1.1 $status\r\n", (map { "$_\r\n" } @$headers), 'Content-Length: ',
		length $body, "\r\n\r\n", $body;
	$c->flush;
	return $status;
}

sub refusal {
	my ($c, $status, $code) = @_;
	reply($c, $status, ['Content-Type: application/xml'],
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>$code</Code><Message>no</Message></Error>");
	return "$status $code";
}

sub object {
	my ($c, $file, $h) = @_;
	open(my $f, '<:raw', $file) or return refusal($c, '404 Not Found', 'NoSuchKey');
	my $data = do { local $/; <$f> };
	my $etag = '"' . substr(sha256_hex($data), 0, 32) . '"';
	my @headers = ("ETag: $etag", 'Accept-Ranges: bytes');
	my $size = length $data;
	if (($h->{range} // '') =~ /^bytes=(\d+)-$/ && (!defined $h->{'if-range'} || $h->{'if-range'} eq $etag)) {
		return refusal($c, '416 Range Not Satisfiable', 'InvalidRange') if $1 >= $size;
		return reply($c, '206 Partial Content', [@headers, "Content-Range: bytes $1-" . ($size - 1) . "/$size"],
			substr $data, $1);
	}
	return reply($c, '200 OK', \@headers, $data);
}

sub answer {
	my ($c, $method, $target, $h) = @_;
	# As a proxy is asked.
	$target =~ s{^http://[^/]+}{};
	my ($path, $query) = split /\?/, $target, 2;
	my ($bucket, $name) = ($h->{host} // '') =~ /^([^:]+)\.s3[.-]/ ? ($1, decode(substr $path, 1)) :
		decode($path) =~ m{^/([^/]+)/(.*)$}s ? ($1, $2) : ('', '');
	my ($code, $why) = refuse($method, $path, $query, $h);
	$code = undef if defined $code && $bucket =~ /^public/ && !defined $h->{authorization};
	return refusal($c, $code eq 'AuthorizationHeaderMalformed' || $code eq 'MissingSecurityHeader' ?
		'400 Bad Request' : '403 Forbidden', $code) . ' ' . ($why // '') if defined $code;
	return refusal($c, '404 Not Found', 'NoSuchBucket') if $bucket eq '' || !-d "$root/$bucket";
	return refusal($c, '403 Forbidden', 'AccessDenied')
		if $name =~ m{(^|/)\.\.(/|$)} || ($bucket =~ /^blind/ && !-f "$root/$bucket/$name");
	return object($c, "$root/$bucket/$name", $h);
}

sub serve {
	my ($c, $number) = @_;
	binmode $c;
	while (1) {
		my ($line, %h) = (scalar <$c>);
		last if !defined $line || $line !~ /^(GET|HEAD) (\S+) HTTP/;
		my ($method, $target) = ($1, $2);
		while (defined($line = <$c>) && $line =~ /^([^:\r\n]+):\s*(.*?)\s*\r?\n$/) {
			my ($n, $v) = (lc $1, $2 =~ s/\s+/ /gr);
			$h{$n} = exists $h{$n} ? "$h{$n},$v" : $v;
		}
		my $range = defined $h{range} ? " $h{range}" : '';
		note($number, $method, "$target$range", answer($c, $method, $target, \%h));
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
