# Cases with Mail::IMAPClient. Run as `perl - FUNCTION`.
use strict;
use warnings;
use Mail::IMAPClient;

sub connected {
    my $client = Mail::IMAPClient->new(
        Server => "127.0.0.1", Port => $ENV{IMAP}, User => $ENV{ADDRESS},
        Password => $ENV{PASSWORD}, Uid => 1, Timeout => 60,
    ) or die "connect: $@";
    return $client;
}

sub token { return sprintf "t%08x%08x", rand(0xffffffff), $$; }

sub want {
    my ($is_so, $client, $shown) = @_;
    return if $is_so;
    die "$shown: " . ($client->LastError // "no error") . "\n" . join "", $client->Results;
}

# A mailbox with three messages: two of one thread, and the dates not in order.
sub filled {
    my ($client) = @_;
    my $name = token();
    want($client->create($name), $client, "create");
    my @mails = (
        [ "Plans", "b\@x", "", "Sat, 21 Nov 2026 10:00:00 +0000" ],
        [ "Apples", "c\@x", "", "Fri, 20 Nov 2026 10:00:00 +0000" ],
        [ "Re: Plans", "d\@x", "b\@x", "Thu, 19 Nov 2026 10:00:00 +0000" ],
    );
    for (@mails) {
        my ($subject, $id, $parent, $date) = @$_;
        my $references = $parent ? "References: <$parent>\r\n" : "";
        my $mail = "From: a\@client.example\r\nDate: $date\r\nSubject: $subject\r\n"
            . "Message-ID: <$id>\r\n$references\r\n" . ("The text. " x 500) . "\r\n";
        want($client->append_string($name, $mail), $client, "append");
    }
    want($client->select($name), $client, "select");
    return $name;
}

sub finish {
    my ($client, $name) = @_;
    $client->close;
    want($client->delete($name), $client, "delete");
    want($client->logout, $client, "logout");
}

sub compressed {
    my $client = connected();
    want($client->has_capability("COMPRESS=DEFLATE"), $client, "capability");
    want($client->compress, $client, "compress");
    my $name = filled($client);
    my @uids = $client->messages;
    want(@uids == 3, $client, "messages @uids");
    my $text = $client->body_string($uids[2]);
    want($text =~ /^(The text\. ){500}\r?\n$/, $client, "body");
    finish($client, $name);
}

sub sorted {
    my $client = connected();
    my $name = filled($client);
    my @by_date = $client->sort("DATE", "UTF-8", "ALL");
    want("@by_date" eq "3 2 1", $client, "sort by date: @by_date");
    my @by_subject = $client->sort("REVERSE SUBJECT ARRIVAL", "UTF-8", "ALL");
    want("@by_subject" eq "1 3 2", $client, "sort by subject: @by_subject");
    my $threads = $client->thread("REFERENCES", "UTF-8", "ALL");
    my @sizes = sort map { scalar @$_ } @$threads;
    want("@sizes" eq "1 2", $client, "threads of @sizes");
    my $found = $client->search("TEXT", $client->Quote("apples"));
    want("@$found" eq "2", $client, "search @$found");
    finish($client, $name);
}

sub described {
    my $client = connected();
    my $name = filled($client);
    want($client->getquotaroot($name), $client, "getquotaroot");
    my $structure = $client->get_bodystructure(1);
    want($structure && lc $structure->bodytype eq "text", $client, "structure");
    my $envelope = $client->get_envelope(3);
    want($envelope && $envelope->subject eq "Re: Plans", $client, "envelope");
    finish($client, $name);
}

sub idling {
    my ($one, $two) = (connected(), connected());
    my $name = filled($one);
    my $idle = $one->idle or die "idle";
    want($two->append_string($name, "Subject: new\r\n\r\nnew\r\n"), $two, "append");
    my $heard = $one->idle_data(30);
    want($heard && grep({ /^\* 4 EXISTS/ } @$heard), $one, "heard");
    want($one->done($idle), $one, "done");
    $two->logout;
    finish($one, $name);
}

{
    no strict "refs";
    &{ $ARGV[0] }();
}
