// Links to persons, by their names.
import { useQuery } from "@tanstack/react-query";
import { Typography } from "antd";
import { Link } from "react-router";

import { call } from "../api/client";
import { nameOf } from "../format";

/** Returns the names of profiles by their ids, in one call. */
export function useNames(ids: string[]): Map<string, string> {
  const wanted = [...new Set(ids)].filter(Boolean).sort();
  const query = useQuery({
    queryKey: ["names", wanted],
    enabled: wanted.length > 0,
    staleTime: 60_000,
    queryFn: ({ signal }) =>
      call(
        "/api/profile/BatchGetProfiles",
        { profile_ids: wanted.slice(0, 1_000), brief: true },
        signal,
      ),
  });
  const found = query.data?.profiles ?? [];
  return new Map(found.map((profile) => [profile.profile_id ?? "", nameOf(profile)]));
}

export function Person(props: { id: string | undefined; name: string | undefined }) {
  const id = props.id ?? "";
  return (
    <Link to={`/profiles/${id}`}>
      {props.name && props.name !== id ? (
        props.name
      ) : (
        <Typography.Text code>{id.slice(0, 8)}</Typography.Text>
      )}
    </Link>
  );
}
