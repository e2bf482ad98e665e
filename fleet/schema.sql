-- The schema of the fleet, version 1. `maskwatch-fleet init` runs it once, in one transaction.
--
-- Messages lie in partitions by the day of their id (uuid version 7, which begins with its time), so that a day is
-- dropped at once. What a clock gone wrong has dated elsewhere lies in the default partition.

create schema maskwatch;
set local search_path = maskwatch;

create table schema_version (version integer not null);
insert into schema_version values (1);

-- A row for each device that was ever heard.
create table devices (
    device text primary key,
    site text not null,
    first_heard timestamptz not null default now(),
    heard timestamptz not null default now(),
    state text not null default 'unknown',
    status jsonb,
    status_received timestamptz,
    telemetry jsonb,
    telemetry_received timestamptz
);
create index devices_by_site on devices (site, device);

-- Sites by hand, for devices whose id does not name theirs.
create table device_sites (
    device text primary key,
    site text not null
);

create table alerts (
    id uuid not null primary key,
    device text not null,
    site text not null,
    camera text not null,
    label text not null,
    boot_id text not null,
    sequence bigint not null,
    historical boolean not null,
    happened timestamptz not null,
    received timestamptz not null default clock_timestamp(),
    message jsonb not null,
    review text,
    reviewed_by text,
    reviewed timestamptz
) partition by range (id);
create index alerts_by_site on alerts (site, id);
create index alerts_by_device on alerts (device, id);
create index alerts_by_label on alerts (label, id);
create index alerts_by_arrival on alerts (received) where not historical;
create index alerts_by_review on alerts (review, id) where review is not null;

-- What became of alerts, by the alert: it may come before it, from another worker.
create table resolutions (
    alert uuid not null primary key,
    id uuid not null,
    device text not null,
    boot_id text not null,
    sequence bigint not null,
    reason text not null,
    happened timestamptz not null,
    received timestamptz not null default clock_timestamp(),
    duration_seconds double precision not null,
    historical boolean not null
) partition by range (alert);

-- JPEG, or encrypted for the owner of a key.
create table pictures (
    alert uuid not null primary key,
    device text not null,
    picture bytea not null
) partition by range (alert);

create table counts (
    id uuid not null,
    camera text not null,
    device text not null,
    site text not null,
    period text not null,
    begins timestamptz not null,
    boot_id text not null,
    sequence bigint not null,
    with_mask integer not null,
    without_mask integer not null,
    mask_worn_incorrectly integer not null,
    undecided integer not null,
    changed integer not null,
    received timestamptz not null default clock_timestamp(),
    primary key (id, camera)
) partition by range (id);

-- The same by site and hour, summed when they are stored: ten thousand devices have 1.7 million rows a week.
create table site_hours (
    begins timestamptz not null,
    site text not null,
    with_mask bigint not null,
    without_mask bigint not null,
    mask_worn_incorrectly bigint not null,
    undecided bigint not null,
    primary key (begins, site)
);
create index site_hours_by_site on site_hours (site, begins);

create table alerts_default partition of alerts default;
create table resolutions_default partition of resolutions default;
create table pictures_default partition of pictures default;
create table counts_default partition of counts default;

-- Sequences of a boot count up without gaps: last > received is a gap.
create table streams (
    device text not null,
    kind text not null,
    boot_id text not null,
    last bigint not null,
    received bigint not null,
    updated timestamptz not null default now(),
    primary key (device, kind, boot_id)
);
create index streams_with_gaps on streams (device) where last > received;

create table command_results (
    device text not null,
    command text not null,
    happened timestamptz not null,
    message jsonb not null,
    primary key (device, command, happened)
);

-- Who may look (viewer), review (operator) and take pictures away (admin); the password is hashed by scrypt.
create table users (
    name text primary key,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    password_salt bytea not null,
    password_hash bytea not null
);

-- A gap is on its way while the device says that messages wait in its outbox, else it is lost.
create view gaps as
select s.device, d.site, s.kind, s.boot_id, s.last - s.received as missing,
    case when coalesce((d.telemetry -> 'outbox' ->> 'rows')::bigint, 0) > 0 then 'on_its_way' else 'lost' end as state
from streams s join devices d using (device)
where s.last > s.received;

-- The smallest uuid of version 7 that a moment has; they begin with 1970.
create function first_uuid7(moment timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex(greatest(floor(extract(epoch from moment) * 1000)::bigint, 0)), 12, '0')
        || '00000000000000000000')::uuid
$$;

-- Make the partitions of these days (UTC); what lies in the default partition for one moves into it.
create function make_partitions(first_day date, last_day date) returns void language plpgsql as $$
declare
    parent text;
    key text;
    day date;
    name text;
    low uuid;
    high uuid;
begin
    for parent, key in values ('alerts', 'id'), ('resolutions', 'alert'), ('pictures', 'alert'), ('counts', 'id') loop
        for day in select generate_series(first_day, last_day, interval '1 day')::date loop
            name := parent || '_' || to_char(day, 'YYYYMMDD');
            continue when to_regclass('maskwatch.' || name) is not null;
            low := maskwatch.first_uuid7(day::timestamp at time zone 'UTC');
            high := maskwatch.first_uuid7((day + 1)::timestamp at time zone 'UTC');
            execute format('create table maskwatch.%I (like maskwatch.%I including defaults)', name, parent);
            execute format(
                'with moved as (delete from maskwatch.%I where %I >= %L and %I < %L returning *) '
                'insert into maskwatch.%I select * from moved', parent || '_default', key, low, key, high, name);
            execute format('alter table maskwatch.%I attach partition maskwatch.%I for values from (%L) to (%L)',
                parent, name, low, high);
        end loop;
    end loop;
end $$;

-- Drop what is older than this day (UTC), and streams and results with it; gives how many partitions were dropped.
create function drop_before(first_kept date) returns integer language plpgsql as $$
declare
    name text;
    dropped integer := 0;
begin
    for name in
        select c.relname from pg_inherits i
        join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
        join pg_namespace n on n.oid = p.relnamespace
        where n.nspname = 'maskwatch' and p.relkind = 'p' and c.relname ~ '_[0-9]{8}$'
            and to_date(right(c.relname, 8), 'YYYYMMDD') < first_kept
    loop
        execute format('drop table maskwatch.%I', name);
        dropped := dropped + 1;
    end loop;
    delete from maskwatch.alerts_default where received < first_kept;
    delete from maskwatch.resolutions_default where received < first_kept;
    delete from maskwatch.pictures_default p where not exists (select from maskwatch.alerts a where a.id = p.alert);
    delete from maskwatch.counts_default where received < first_kept;
    delete from maskwatch.site_hours where begins < first_kept;
    delete from maskwatch.streams s where updated < first_kept and not exists (
        select from maskwatch.devices d where d.device = s.device and d.telemetry ->> 'boot_id' = s.boot_id);
    delete from maskwatch.command_results where happened < first_kept;
    return dropped;
end $$;
