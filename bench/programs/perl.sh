# perl: hashes of arrays, strings that grow, sorting, regular expressions.
perform() {
    measured perl - $((8 * scale)) <<'PERL'
use strict;
my ($rounds, $sum, %words) = (shift, 0);
for my $round (1 .. $rounds) {
    for my $i (1 .. 20000) {
        my $list = $words{"word" . $i * 7919 % 30011} ||= [];
        push @$list, "$round:" . "x" x ($i % 90);
        shift @$list if @$list > 3;
    }
    my $text = join " ", map { "$_=" . @{ $words{$_} } } sort keys %words;
    $sum += length $1 while $text =~ /word(\d+)=3/g;
    my %lengths;
    push @{ $lengths{length} }, $_ for split / /, $text;
    $sum += @{ $lengths{$_} } * $_ for keys %lengths;
    delete $words{"word$_"} for 1 .. 5000;
}
print scalar(keys %words), " $sum\n";
PERL
}
