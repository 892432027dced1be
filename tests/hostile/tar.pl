#!/usr/bin/perl
# Write a tar archive to stdout byte by byte, sound or not: tar(1) refuses to make most of these.
#
#     tar.pl [end=BLOCKS] [tail=TEXT] [+ KEY=VALUE ...]...
#
# Each "+" starts an entry. Its keys:
#
#     name=, link=, prefix=   as they go into the header; \xNN stands for a byte
#     type=                   one character: 0 file (the default), 1 hard link, 2 symlink, 5 directory
#     mode=, size=, mtime=    numbers; mode is octal; size is that of data unless given
#     data=                   the body; \xNN stands for a byte
#     times=N                 data so many times over
#     zeros=N                 N zero bytes after data
#     pax:KEY=VALUE           a pax header in front of the entry
#     gnu=1                   GNU magic instead of ustar
#     sum=N                   a checksum of one's own
#     header=OFFSET:TEXT      bytes put over the header before the checksum is taken
#     cut=1                   no padding after the body
#
# end= is the number of zero blocks at the end, 2 unless given; tail= goes after them.
use strict;
use warnings;

sub bytes {
	my ($text) = @_;
	$text =~ s/\\x([0-9a-fA-F]{2})/chr hex $1/ge;
	return $text;
}

sub padded {
	my ($data) = @_;
	return $data . "\0" x (-length($data) % 512);
}

sub number {
	my ($value, $digits) = @_;
	return sprintf("%0${digits}o", $value) . "\0" if $value >= 0 && $value < 8**$digits;
	# What octal cannot hold goes in base 256.
	my $fill = $value < 0 ? "\xff" : "\x80" . "\0" x ($digits - 8);
	return substr($fill . "\xff" x $digits, 0, $digits - 7) . pack("q>", $value) if $value < 0;
	return $fill . pack("Q>", $value);
}

sub header {
	my (%h) = @_;
	my $block = pack("a100 a8 a8 a8 a12 a12 a8 a1 a100 a8 a32 a32 a8 a8 a155 a12",
	    bytes($h{name}), number(oct $h{mode}, 7), number(0, 7), number(0, 7),
	    number($h{size}, 11), number($h{mtime}, 11), " " x 8, $h{type}, bytes($h{link}),
	    $h{gnu} ? "ustar  \0" : "ustar\00000", "root", "root", number(0, 7), number(0, 7),
	    bytes($h{prefix}), "");
	if ($h{header} =~ /^(\d+):(.*)$/s) {
		my ($at, $text) = ($1, bytes($2));
		substr($block, $at, length $text) = $text;
	}
	my $sum = length $h{sum} ? $h{sum} : unpack("%32C*", $block);
	substr($block, 148, 8) = sprintf("%06o\0 ", $sum);
	return $block;
}

my %blank = (name => "", link => "", prefix => "", type => "0", mode => "0644", mtime => 1400000000,
    data => "", times => 1, zeros => 0, gnu => 0, sum => "", header => "", cut => 0);

sub pax_record {
	my ($key, $value) = @_;
	my $rest = " $key=" . bytes($value) . "\n";
	my $length = length $rest;
	$length++ while length($length) + length($rest) != $length;
	return $length . $rest;
}

sub entry {
	my (%h) = (%blank, @_);
	my $pax = join "", map { pax_record(substr($_, 4), $h{$_}) } sort grep { /^pax:/ } keys %h;
	my $data = bytes($h{data}) x $h{times} . "\0" x $h{zeros};
	$h{size} = length $data unless defined $h{size};
	my $out = "";
	$out .= header(%blank, name => "pax", type => "x", size => length $pax) . padded($pax)
	    if length $pax;
	return $out . header(%h) . ($h{cut} ? $data : padded($data));
}

my (%archive, @entries);
for my $arg (@ARGV) {
	if ($arg eq "+") {
		push @entries, {};
	} elsif ($arg =~ /^((?:pax:)?[^=]+)=(.*)$/s) {
		(@entries ? $entries[-1] : \%archive)->{$1} = $2;
	} else {
		die "tar.pl: $arg: not KEY=VALUE\n";
	}
}
binmode STDOUT;
print entry(%$_) for @entries;
print "\0" x (512 * (defined $archive{end} ? $archive{end} : 2));
print bytes(defined $archive{tail} ? $archive{tail} : "");
close STDOUT or die "tar.pl: write: $!\n";
