-- read_all, latest_cursor, cursor_before, take_tick, skip_adoption, begin_era, read_stream backwards, read_streams
select count(domain_events.append_event('User', i::text, 'UserRegistered', correlation_id => 'c-' || i)) from generate_series(1, 3) as i;
select count(domain_events.append_event('Order', '7', 'OrderPlaced', correlation_id => 'c-2'));

-- page after page, each with the cursor of the row before
select global_position, aggregate_type, aggregate_id, aggregate_version as v, event_type, cursor is not null as has_cursor
  from domain_events.read_all(max_count => 2);
select cursor from domain_events.read_all(max_count => 2) offset 1 \gset
select aggregate_type, aggregate_id from domain_events.read_all(:'cursor');
select aggregate_type, aggregate_id from domain_events.read_all(correlation => 'c-2');
select aggregate_type, aggregate_id from domain_events.read_all(aggregate_types => '{Order}', event_types => '{OrderPlaced}', since => '2000-01-01');
select aggregate_type, cursor is not null as has_cursor from domain_events.read_all(aggregate_types => '{Nobody}');

-- from now on
select domain_events.latest_cursor() as latest \gset
select count(*) from domain_events.read_all(:'latest');
select domain_events.cursor_before(:'cursor', :'latest'), domain_events.cursor_before(:'latest', :'cursor') as the_other_way;
select pg_sleep(0.02), domain_events.take_tick() as with_nothing_new;
select count(domain_events.append_event('Order', '7', 'OrderPaid'));
select domain_events.take_tick() as with_something_new;
select aggregate_id, aggregate_version as v, event_type from domain_events.read_all(:'latest');

-- events of another cluster's transactions
select domain_events.begin_era();
select count(*) as nothing_twice from domain_events.read_all(:'latest') where event_type <> 'OrderPaid';

-- streams
select aggregate_version as v, event_type from domain_events.read_stream('Order', '7', backwards => true, max_count => 1);
select aggregate_type, aggregate_id, aggregate_version as v
  from domain_events.read_streams('[{"aggregate_type": "Order", "aggregate_id": "7", "from_version": 2}, {"aggregate_type": "User", "aggregate_id": "1"}]');

-- bad input
select domain_events.read_all(max_count => 0);
select domain_events.read_all(max_count => 10000000);
select domain_events.read_all('a cursor');
select domain_events.read_streams('{}');
select domain_events.skip_adoption(42);
