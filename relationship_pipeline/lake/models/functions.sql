-- Macros of the collection step. The address rules are those of domain/addresses.py (N1, B7) for addresses that need no
-- more than lower case; everything else goes through Python (a test holds the two together).
create temp macro is_plain(address) as
    length(address) <= 320
    and regexp_full_match(
        address,
        '[A-Za-z0-9!#$%&*+/=?^_{|}~.-][A-Za-z0-9!#$%&''*+/=?^_`{|}~.-]*@([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?'
    );

-- B7's local parts, for normalised addresses.
create temp macro is_bulk_sender(address) as
    regexp_matches(
        address,
        '^(no-?reply|do-not-reply|donotreply|mailer-daemon|postmaster|bounces?|newsletter|notifications?)([-+.][^@]*)?@'
    );

-- 16 bytes of SHA-256, as a key. Bytes become a uuid faster than their digits do.
create temp macro key_of(content) as unhex(substr(sha256(content), 1, 32))::uuid;

-- B5: trimmed; exact but for the case of the domain part. Null where nothing is left. Most stand as they are: printable
-- ASCII, one `@`, no upper case after it.
create temp macro message_id(raw) as
    case
        when regexp_full_match(raw, '[!-?A-~][!-?A-~ ]*@[!-?\[-~]+') then raw
        else nullif(
            regexp_extract(trim(raw, e' \t\r\n'), '^((?s:.*)@)?((?s:[^@]*))$', 1)
            || lower(regexp_extract(trim(raw, e' \t\r\n'), '^((?s:.*)@)?((?s:[^@]*))$', 2)),
            ''
        )
    end;

-- A display name without any address in it (`Ann <ann@example.com>`; lists write `ann@example.com via List`), which is no
-- name and could not be taken out with its owner (O4, W5).
create temp macro plain_name(name) as
    case
        when not contains(name, '@') then name
        when not contains(split_part(name, '<', 1), '@') then nullif(trim(split_part(name, '<', 1)), '')
    end;

-- N4: a sent time that is missing, or too far from the received one to be believed: by more than a day after it or 30
-- before. Microseconds, because adding intervals to times with a zone asks a calendar each time.
create temp macro is_off_clock(sent_at, received_at) as
    coalesce(
        epoch_us(sent_at) - epoch_us(received_at) > 86400000000
        or epoch_us(received_at) - epoch_us(sent_at) > 2592000000000,
        true
    );

-- A list's members, sorted, each once, nulls left out; most lists hold one address.
create temp macro distinct_addresses(addresses) as
    case
        when len(addresses) = 1 and addresses[1] is not null then addresses
        when len(addresses) > 0 then list_sort(list_distinct(addresses))
        else []
    end;

-- Exchange writes `-` for `/` and `_` for `+`, the other way round than RFC 4648: ids with either beside a
-- conversationIndex in Microsoft's sample rows agree with the index only so.
create temp macro standard_base64(encoded) as replace(replace(encoded, '-', '/'), '_', '+');

-- B7: the conversation's GUID. A conversationId of 59 bytes beginning 00 04 24 00 is 79 base64 characters (one `=` may
-- follow): its last 16 bytes begin at the second byte of the 24 characters from the 57th on. A conversationIndex holds
-- the GUID in bytes 6 to 21: the first 16 bytes of the 24 characters from the 9th on.
create temp macro conversation_key(conversation_id, conversation_index) as
    case
        when length(conversation_id) = 79 + ends_with(conversation_id, '=')::int
            and regexp_full_match(conversation_id, 'AAQkA[A-P][A-Za-z0-9+/_-]*=?')
            then from_base64(standard_base64(substr(conversation_id, 57, 23)) || '=')[2:17]::uuid
        when regexp_full_match(conversation_index, '[A-Za-z0-9+/_-]{30,}={0,2}')
            and try(from_base64(rpad(standard_base64(substr(conversation_index, 9, 24)), 24, '='))) is not null
            then from_base64(rpad(standard_base64(substr(conversation_index, 9, 24)), 24, '='))[1:16]::uuid
        when conversation_id <> '' then key_of(conversation_id)
    end;
