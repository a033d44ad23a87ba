-- append_events, for one stream and for several
select aggregate_version, event_type, event_data
  from domain_events.append_events('Order', '1', '[{"event_type": "OrderPlaced", "event_data": {"total": 5}}, {"event_type": "OrderPaid"}]', expected_version => 0);
select domain_events.append_events('Order', '1', '[{"event_type": "OrderShipped"}]', expected_version => 1);
select aggregate_version, event_type, caused_by, correlation_id, occurred_at, schema_version
  from domain_events.append_events('Order', '1', '[{"event_type": "OrderShipped", "caused_by": "bob", "correlation_id": "c", "occurred_at": "2026-01-01T00:00:00Z", "schema_version": 3,
    "event_id": "018f0000-0000-7000-8000-000000000010"}]');

-- repeated as a whole: as stored; in part, or with other content: an error
select aggregate_version, event_type
  from domain_events.append_events('Order', '1', '[{"event_type": "OrderShipped", "schema_version": 3, "event_id": "018f0000-0000-7000-8000-000000000010"}]');
select domain_events.append_events('Order', '1', '[{"event_type": "OrderShipped", "event_id": "018f0000-0000-7000-8000-000000000010"}, {"event_type": "OrderClosed"}]');
select domain_events.append_events('Order', '1', '[{"event_type": "OrderLost", "event_id": "018f0000-0000-7000-8000-000000000010"}]');
select domain_events.append_events('Order', '1', '[{"event_type": "A", "event_id": "018f0000-0000-7000-8000-000000000011"}, {"event_type": "B", "event_id": "018f0000-0000-7000-8000-000000000011"}]');

-- several streams
select aggregate_type, aggregate_id, aggregate_version, event_type
  from domain_events.append_events(
    '[{"aggregate_type": "Order", "aggregate_id": "2", "event_type": "OrderPlaced"}, {"aggregate_type": "Stock", "aggregate_id": "x", "event_type": "StockTaken"},
      {"aggregate_type": "Order", "aggregate_id": "2", "event_type": "OrderPaid"}]',
    '[{"aggregate_type": "Order", "aggregate_id": "1", "version": 3}, {"aggregate_type": "Order", "aggregate_id": "2", "version": 0}, {"aggregate_type": "Stock", "aggregate_id": "y", "version": 0}]');
select domain_events.append_events(
    '[{"aggregate_type": "Order", "aggregate_id": "3", "event_type": "OrderPlaced"}]', '[{"aggregate_type": "Order", "aggregate_id": "1", "version": 7}]');
select count(*) as nothing_half_done from domain_events.events where aggregate_id = '3';
select * from domain_events.append_events('[]');

-- bad input
select domain_events.append_events('Order', '1', null);
select domain_events.append_events('Order', '1', '{}');
select domain_events.append_events('Order', '1', '[1]');
select domain_events.append_events('Order', '1', '[{}]');
select domain_events.append_events('Order', '1', '[{"event_type": "A", "nonsense": 1}]');
select domain_events.append_events('Order', '1', '[{"event_type": "A", "event_id": "no uuid"}]');
select domain_events.append_events('Order', '1', '[{"event_type": "A", "aggregate_id": "2"}]');
select domain_events.append_events('[{"event_type": "A"}]');
select domain_events.append_events('[]', '{}');
select domain_events.append_events('[]', '[{"aggregate_type": "Order"}]');
select * from domain_events.check_integrity();
