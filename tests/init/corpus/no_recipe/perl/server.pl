use strict;
use warnings;
use IO::Socket::INET;

$SIG{TERM} = sub { exit 0 };
my %get = (
    '/health' => sub { 'ok' },
    '/prices' => sub { 'tea 3' },
    '/file' => sub { open my $file, '<', '/etc/words' or die; local $/; <$file> },
    '/late' => sub { require Digest::SHA; require POSIX; Digest::SHA::sha256_hex(POSIX::floor(3.5)) },
    '/version' => sub { "$ENV{SHOP_VERSION} $ENV{GREETING}" },
    '/save' => sub { open my $file, '>', '/data/last' or die; print $file 'x'; 'saved' },
    '/user' => sub { (getpwuid $<)[0] },
);
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    my ($path) = (<$client> // '') =~ m{^GET (\S+)};
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
    my $body = $path && $get{$path} ? eval { $get{$path}->() } : undef;
    my $status = defined $body ? '200 OK' : '404 Not Found';
    $body //= 'none';
    my $length = length $body;
    print $client "HTTP/1.1 $status\r\nContent-Type: text/plain\r\nContent-Length: $length\r\nConnection: close\r\n\r\n$body";
    close $client;
}
