#!/usr/bin/perl
# Run a program on a kernel that has no openat2(2), as a seccomp filter makes it look.
#
#     without-openat2.pl PROGRAM [ARG ...]
use strict;
use warnings;

# prctl(2) has another number on every architecture; openat2(2) has one.
my %prctl = (x86_64 => 157, aarch64 => 167);
chomp(my $machine = `uname -m`);
my $nr = $prctl{$machine} or die "without-openat2.pl: not for $machine\n";

sub op {
	return pack("S C C L", @_);
}

my $program = op(0x20, 0, 0, 0)         # load the number of the call
    . op(0x15, 0, 1, 437)               # openat2?
    . op(0x06, 0, 0, 0x00050000 | 38)   # ENOSYS
    . op(0x06, 0, 0, 0x7fff0000);       # allowed
my $filter = pack("S x![P] P", 4, $program);

syscall($nr, 38, 1, 0, 0, 0) == 0 or die "without-openat2.pl: no_new_privs: $!\n";
syscall($nr, 22, 2, $filter, 0, 0) == 0 or die "without-openat2.pl: seccomp: $!\n";
exec { $ARGV[0] } @ARGV or die "without-openat2.pl: $ARGV[0]: $!\n";
