#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
# The table of include/vmi_abi.h against the interface as it was published:
# calls.tsv, from $VMI_SPEC or next to the tree. Both ways: every number of
# either is in the other, at the same call and with the same registers.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use Test::More;

chdir(dirname(abs_path($0)) . "/../..") or die "chdir: $!";
my $spec = $ENV{VMI_SPEC} // "../shared/spec/calls.tsv";
my $tool = ($ENV{O} // "build") . "/tools/calls-doc";
plan skip_all => "no $spec" unless -e $spec;
BAIL_OUT("no $tool: run make tools") unless -x $tool;

# What calls.tsv does not say of a variant that it mentions, and what it says of
# other hosts than those of the three revisions.
my %no_flags = map { $_ => 1 } qw(SetPxELong_v13 SetPteLong); # "no flags": 3.0's [esp+4]

# Rows of this project's own: in no revision, without a number, found by name.
my %own = map { $_ => 1 } qw(PatchSites);

my @revisions = (3, 13, 6);
my %column = (3 => "3.0", 13 => "13.x", 6 => "6.1");

# The table: name => { number => { revision => n }, in, out => [sorted registers] }
my (%table, @order);
open(my $rows, "-|", $tool, "--tsv") or die "$tool: $!";
while (<$rows>) {
	chomp;
	my ($name, $n3, $n13, $n6, $in, $out) = split /\t/;
	push @order, $name;
	$table{$name} = { number => { 3 => $n3, 13 => $n13, 6 => $n6 },
		in => $in, out => $out };
}
close($rows) or die "$tool failed";

my %whole = map { my $r = "E${_}X"; ($r => $r, "${_}X" => $r, "${_}L" => $r) } qw(A B C D);
$whole{$_} = $_ for qw(ESI EDI [esp+4] [esp+8]);

# Register names in a cell of either, sorted; 8- and 16-bit names count as the whole.
sub registers
{
	my ($text) = @_;
	my %set;
	$set{$whole{$1}} = 1 while $text =~ /((?:\b(?:E?[ABCD]X|[ABCD]L|ESI|EDI)\b)|\[esp\+[48]\])/g;
	return join(" ", sort keys %set);
}

# The parts of a cell that are about one number of a revision: parts are
# separated by ";" and may begin with "v13 #45, v6.1:".
sub part
{
	my ($cell, $revision, $number) = @_;
	my $text = "";
	return "" if $cell =~ /\(v(\d+)[\d.]*: none\)/ && $1 == $revision;
	for my $part (split /;\s*/, $cell) {
		if ($part =~ s/^((?:v[\d.]+|\d+\.\d)(?:\s*#\d+)?(?:,\s*(?:v[\d.]+|\d+\.\d)(?:\s*#\d+)?)*):\s*//) {
			my $applies = 0;
			for my $tag (split /,\s*/, $1) {
				my ($tagged, $only) = $tag =~ /^v?(\d+)[\d.]*(?:\s*#(\d+))?$/;
				$applies = 1 if $tagged == $revision &&
					(!defined $only || $number eq $only);
			}
			next unless $applies;
		}
		$part =~ s/ or .*//; # what another host takes
		$text .= " $part";
	}
	return $text;
}

# "86(13.3); 45=older argument order" => [86, ""], [45, ""]; "72(SetPte)" => [72, "SetPte"]
sub numbers
{
	my ($cell) = @_;
	return ([$1, ""]) if $cell =~ /^(@\w+)$/;
	return () if $cell =~ /^(-|by name)$/ || $cell =~ / in one 13\.0 host$/;
	my @found;
	while ($cell =~ /(?:^|;\s*|(?<=\))\s+)(\d+)(?:\(([^)]*)\)|=(\w+)(?=$|;))?/g) {
		my ($number, $name) = ($1, $2 // $3 // "");
		push @found, [$number, $name =~ /^[A-Z]/i ? $name : ""];
	}
	die "$spec: no number in '$cell'" unless @found;
	return @found;
}

# One row of calls.tsv: its numbers, and the registers of each stub that has one.
my (%published, %named, $above, $rows_read);
sub check_row
{
	my ($name, $v3, $v13, $v6, $in, $out) = @_;
	my %in_of; # of each stub, over the revisions that have it
	my %cell = (3 => $v3, 13 => $v13, 6 => $v6);

	for my $revision (@revisions) {
		for (numbers($cell{$revision})) {
			my ($number, $other) = @$_;
			my @allowed = ($name, $name . "_v13", $name . "_v6", $other || ());
			my ($stub) = grep { $table{$_}{number}{$revision} eq $number } @order;

			$published{$revision}{$number}++;
			ok(defined $stub, "$column{$revision} has $number, $name") or next;
			ok((grep { $_ eq $stub } @allowed), "$column{$revision} $number is $name")
				or diag("the table has $stub");
			$named{$stub} = 1;

			my $text = part($in, $revision, $number);
			$text =~ s/\[esp\+4\]=flags// if $no_flags{$stub};
			$in_of{$stub} .= " $text";

			my $result = $out eq "no return" ? "" : part($out, $revision, $number);
			is(registers($table{$stub}{out}), registers($result),
				"$stub: out ($column{$revision})");
			if ($result =~ /\bmemory\b/) {
				like($table{$stub}{out}, qr/\bmemory\b/, "$stub: writes memory");
			} elsif ($table{$stub}{out} =~ /\bmemory\b/) {
				like($text, qr/ptep|base|address|\*/,
					"$stub: writes where an argument points to");
			}
		}
	}
	if (!%in_of) { # no number: by name in every image
		ok($table{$name}, "$name is there by name") or return;
		$in_of{$name} = $in;
		$named{$name} = 1;
		is(registers($table{$name}{out}), registers($out), "$name: out");
	}
	for my $stub (sort keys %in_of) {
		my $got = $table{$stub}{in};
		$got =~ s/\[esp\]/[esp+4]/;
		is(registers($got), registers($in_of{$stub}), "$stub: in");
	}
}

open(my $tsv, "<", $spec) or die "$spec: $!";
while (<$tsv>) {
	next if /^#/;
	chomp;
	my ($name, $v3, $v13, $v6, $in, $out) = split /\t/;

	$rows_read++;
	$in = $above if $in eq "as above";
	$above = $in;
	$in = "[esp+4]" if $in =~ /^\[esp\]=|stack frame$/; # the table's word for the frame
	subtest $name => sub { check_row($name, $v3, $v13, $v6, $in, $out); done_testing() };
}
close($tsv);
cmp_ok($rows_read, ">=", 100, "$spec has rows");

for my $name (grep { $own{$_} } @order) {
	ok(!$named{$name}, "$name is not published");
	is($table{$name}{number}{$_}, "-", "$name has no number in $column{$_}") for @revisions;
}
for my $name (grep { !$own{$_} } @order) {
	subtest "$name is published" => sub {
		ok($named{$name}, "by name");
		for my $revision (@revisions) {
			my $number = $table{$name}{number}{$revision};
			is($published{$revision}{$number}, 1, "$column{$revision} $number, once")
				unless $number eq "-";
		}
		done_testing();
	};
}
done_testing();
