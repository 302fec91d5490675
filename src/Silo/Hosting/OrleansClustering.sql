-- Membership of the hub's silos, for Orleans' AdoNet clustering on PostgreSQL. Orleans reads the statements it needs from
-- OrleansQuery by these keys and binds these parameters; the tables behind them are ours. Safe to run again.

CREATE TABLE IF NOT EXISTS OrleansQuery (
  QueryKey  varchar(64) NOT NULL PRIMARY KEY,
  QueryText text        NOT NULL
);

CREATE TABLE IF NOT EXISTS silo_versions (
  deployment text        NOT NULL PRIMARY KEY,
  version    integer     NOT NULL DEFAULT 0,
  changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS silos (
  deployment    text        NOT NULL REFERENCES silo_versions (deployment),
  address       varchar(45) NOT NULL,
  port          integer     NOT NULL,
  generation    integer     NOT NULL,
  name          text        NOT NULL,
  host          text        NOT NULL,
  status        integer     NOT NULL,
  proxy_port    integer     NULL,
  suspect_times text        NULL,
  started_at    timestamptz NOT NULL,
  alive_at      timestamptz NOT NULL,
  PRIMARY KEY (deployment, address, port, generation)
);

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES
('InsertMembershipVersionKey', '
  WITH added AS (
    INSERT INTO silo_versions (deployment) VALUES (@DeploymentId) ON CONFLICT DO NOTHING RETURNING 1)
  SELECT count(*)::integer FROM added'),

-- A change of the table and the step of its version are one statement: whoever read an older version changes nothing.
('InsertMembershipKey', '
  WITH stepped AS (
    UPDATE silo_versions SET version = version + 1, changed_at = now()
    WHERE deployment = @DeploymentId AND version = @Version
      AND NOT EXISTS (SELECT 1 FROM silos WHERE deployment = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation)
    RETURNING 1),
  added AS (
    INSERT INTO silos (deployment, address, port, generation, name, host, status, proxy_port, started_at, alive_at)
    SELECT @DeploymentId, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime FROM stepped
    ON CONFLICT DO NOTHING RETURNING 1)
  SELECT count(*)::integer FROM added'),

('UpdateMembershipKey', '
  WITH stepped AS (
    UPDATE silo_versions SET version = version + 1, changed_at = now()
    WHERE deployment = @DeploymentId AND version = @Version RETURNING 1),
  changed AS (
    UPDATE silos SET status = @Status, suspect_times = @SuspectTimes, alive_at = @IAmAliveTime FROM stepped
    WHERE deployment = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation RETURNING 1)
  SELECT count(*)::integer FROM changed'),

('UpdateIAmAlivetimeKey', '
  UPDATE silos SET alive_at = @IAmAliveTime
  WHERE deployment = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation'),

-- The version comes even where there is no silo, hence the outer join.
('MembershipReadRowKey', '
  SELECT v.deployment AS DeploymentId, s.address AS Address, s.port AS Port, s.generation AS Generation, s.name AS SiloName,
         s.host AS HostName, s.status AS Status, s.proxy_port AS ProxyPort, s.suspect_times AS SuspectTimes,
         s.started_at AS StartTime, s.alive_at AS IAmAliveTime, v.version AS Version
  FROM silo_versions v
  LEFT JOIN silos s ON s.deployment = v.deployment AND s.address = @Address AND s.port = @Port AND s.generation = @Generation
  WHERE v.deployment = @DeploymentId'),

('MembershipReadAllKey', '
  SELECT v.deployment AS DeploymentId, s.address AS Address, s.port AS Port, s.generation AS Generation, s.name AS SiloName,
         s.host AS HostName, s.status AS Status, s.proxy_port AS ProxyPort, s.suspect_times AS SuspectTimes,
         s.started_at AS StartTime, s.alive_at AS IAmAliveTime, v.version AS Version
  FROM silo_versions v LEFT JOIN silos s ON s.deployment = v.deployment
  WHERE v.deployment = @DeploymentId'),

('DeleteMembershipTableEntriesKey', '
  DELETE FROM silos WHERE deployment = @DeploymentId;
  DELETE FROM silo_versions WHERE deployment = @DeploymentId'),

('GatewaysQueryKey', '
  SELECT address AS Address, proxy_port AS ProxyPort, generation AS Generation FROM silos
  WHERE deployment = @DeploymentId AND status = @Status AND proxy_port > 0'),

-- 3 is Active.
('CleanupDefunctSiloEntriesKey', '
  DELETE FROM silos WHERE deployment = @DeploymentId AND alive_at < @IAmAliveTime AND status <> 3')
ON CONFLICT (QueryKey) DO UPDATE SET QueryText = EXCLUDED.QueryText;
