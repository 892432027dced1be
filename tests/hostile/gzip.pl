#!/usr/bin/perl
# Compress stdin to stdout with a gzip header of one's own.
#
#     gzip.pl [flags=N] [extra=LENGTH] [method=N] [hcrc=XOR]
#
# flags= are those of RFC 1952: 2 a checksum of the header, 4 an extra field, 8 a name, 16 a comment.
# The field has LENGTH bytes; XOR is what the checksum of the header is wrong by.
use strict;
use warnings;
use Compress::Raw::Zlib;

my %o = (flags => 0, extra => 0, method => 8, hcrc => 0, map { split /=/, $_, 2 } @ARGV);
binmode STDIN;
binmode STDOUT;
my $data = do { local $/; <STDIN> };
my $header = pack("C4 V C2", 0x1f, 0x8b, $o{method}, $o{flags}, 0, 0, 3);
$header .= pack("v", $o{extra}) . "x" x $o{extra} if $o{flags} & 4;
$header .= "name\0" if $o{flags} & 8;
$header .= "comment\0" if $o{flags} & 16;
$header .= pack("v", (crc32($header) & 0xffff) ^ $o{hcrc}) if $o{flags} & 2;
my ($z) = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15);
my ($body, $rest);
$z->deflate($data, $body);
$z->flush($rest);
print $header, $body, $rest, pack("VV", crc32($data), length $data);
close STDOUT or die "gzip.pl: write: $!\n";
